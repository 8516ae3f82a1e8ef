"""The commented config that `driftline init` writes."""

TEMPLATE = """\
# driftline.yaml: everything that driftline knows of your services and models.
# 'driftline config check' checks it; 'driftline config schema' prints its JSON Schema for editors.
# Never write passwords here: {env: NAME} names an environment variable, {file: PATH} a file.

# Where the local services, logs, checkpoints and downloaded models live.
state: .driftline

# 'local' is the stack that 'driftline up' starts on this machine; or give an address.
kafka:
  bootstrap: local                      # broker1:9093,broker2:9093
  # security_protocol: SASL_SSL         # or SSL: for any host but this machine
  # sasl_mechanism: SCRAM-SHA-256       # PLAIN, SCRAM-SHA-256, SCRAM-SHA-512
  # username: driftline
  # password: {env: KAFKA_PASSWORD}
  # ca_file: certs/ca.pem

postgres:
  host: local                           # db.example.com
  # port: 5432
  # database: driftline
  # sslmode: verify-full                # for any host but this machine
  # sslrootcert: certs/ca.pem
  # roles:                              # only 'migrate' may change the schema
  #   migrate: {user: driftline_migrate, password: {env: PG_MIGRATE_PASSWORD}}
  #   write: {user: driftline_write, password: {env: PG_WRITE_PASSWORD}}
  #   read: {user: driftline_read, password: {env: PG_READ_PASSWORD}}

mlflow:
  tracking_uri: local                   # https://mlflow.example.com
  # username: driftline
  # password: {env: MLFLOW_PASSWORD}

flink:
  parallelism: 1                        # at most the number of partitions of the topic
  checkpoint_interval: 10 s
  # properties: {taskmanager.memory.network.max: 256m}

# Dashboards, alert rules and contact points: 'driftline dashboards plan', then 'apply'.
# grafana:
#   url: https://grafana.example.com
#   token: {env: GRAFANA_TOKEN}         # of a service account
#   contact_points:
#     oncall: {type: pagerduty, settings: {integrationKey: {env: PAGERDUTY_KEY}}}
#   routing:
#     routes: [{contact_point: oncall, severities: [page]}]

models:
  payments:                             # the name of the model in driftline
    input:
      topic: payments
      event_id: id                      # names the event; the same id and time again is a duplicate
      event_time: time                  # when it happened
      time_format: iso8601              # or epoch_s, epoch_ms, epoch_us
      fields:                           # int, float, string, bool; {type: int, key: userAge}
        amount: float
        country: string
        age: int
      required: [amount]                # an event without it is rejected; others may be missing
      accept: {past: 7 d, future: 5 min}  # around Kafka's timestamp; or {since: , until: }
    # features:
    #   transform: mypackage.features:transform   # RecordBatch -> RecordBatch, vectorised
    #   sql:                                      # event-time windows, in Flink SQL
    #     query: |
    #       SELECT *, COUNT(*) OVER (PARTITION BY country ORDER BY event_time
    #         RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW) AS country_1h
    #       FROM events
    #     columns: {country_1h: int}
    #     out_of_order: 1 min
    registry: {name: payments, alias: champion}   # the registered model in MLflow
    output: {topic: payments-scored, delivery: exactly_once}
    # labels: {topic: payments-labels, event_id: id, label: fraud, time: time}
    segments: [country]                 # profiles are also kept for the commonest values of these
    stream: {latency: balanced}         # low, balanced or throughput
    # gates:                            # what a version must show before it is promoted
    #   agreement: {min_events: 1000, tolerance: 0.1, min_share: 0.95}
    #   latency: {max_ratio: 1.5}
    #   offline: {data: holdout.parquet, label: fraud, metric: log_loss, margin: 0.005}
    #   performance: {metric: auc, margin: 0.01}    # needs labels
"""
