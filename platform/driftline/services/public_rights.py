"""What PostgreSQL and TimescaleDB let every role do in a database, and a superuser can revoke."""

# Large objects and messages in the WAL fill the disk. TimescaleDB's internal functions are for its
# own code and do not all check whose table it is: in 2.19 `drop_chunk` drops any chunk for any
# role. Those that only measure are kept, as public ones such as hypertable_size call them, and the
# owner keeps all of them, as policies run with its rights. docs/operations.md shows the same text.
REVOKE = """\
DO $$
DECLARE
  routine text;
  owner text := (SELECT datdba::regrole FROM pg_database WHERE datname = current_database());
BEGIN
  FOR routine IN
    SELECT p.oid::regprocedure
      FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
     WHERE (n.nspname = 'pg_catalog'
            AND p.proname IN ('lo_creat', 'lo_create', 'lo_from_bytea', 'pg_logical_emit_message'))
        OR (n.nspname IN ('_timescaledb_functions', '_timescaledb_internal')
            AND p.provolatile = 'v'
            AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
            AND p.proname !~ '(_size|_count)$')
  LOOP
    EXECUTE format('REVOKE ALL ON ROUTINE %s FROM PUBLIC', routine);
    EXECUTE format('GRANT EXECUTE ON ROUTINE %s TO %s', routine, owner);
  END LOOP;
END $$;
"""
