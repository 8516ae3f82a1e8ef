"""Keeps a silent source from being left out of event time.

When all partitions of a source are silent, Flink marks it as idle, and a join then leaves the
input that is idle out of its watermark (FLINK-18934). When the source wakes up, its first watermark
comes to a join by the shorter way while the longer one still counts as idle: events that wait in a
window on the longer way come out late. So here one task reads, which settles by itself which of its
partitions is silent, and those behind it are not told.
"""

from pathlib import Path

from pyflink.java_gateway import get_gateway
from pyflink.table import DataTypes, Schema, StreamTableEnvironment, Table
from pyflink.table.types import _to_java_data_type

from driftline.streaming.jvm.java import jar

_SOURCE = Path(__file__).parent / "AlwaysActive.java"
_CLASS = "driftline.AlwaysActive"
_JARS = "pipeline.jars"
_PARALLELISM = "table.exec.resource.default-parallelism"


def always_active(
    t_env: StreamTableEnvironment, table: Table, time: tuple[str, str], folder: Path
) -> Table:
    """A table again, with its watermarks, read by one task; it is never idle.

    Parameters:
        table: of a source with watermarks, without the column that they are of.
        time: name of the column to add as event time, and its SQL expression.
        folder: for the jar of the operator.
    """
    config = t_env.get_config()
    config.set(_JARS, f"{config.get(_JARS, '')};{jar(get_gateway(), _SOURCE, folder).as_uri()}")
    parallelism = config.get(_PARALLELISM, "-1")
    config.set(_PARALLELISM, "1")
    try:
        stream = t_env._j_tenv.toDataStream(table._j_table, _internal(table))
    finally:
        config.set(_PARALLELISM, parallelism)
    active = stream.transform("always active", stream.getType(), _operator())
    schema = Schema.new_builder()
    for name, kind in zip(*_columns(table), strict=True):
        schema.column(name, kind)
    schema.column_by_expression(*time).watermark(time[0], "SOURCE_WATERMARK()")
    return Table(t_env._j_tenv.fromDataStream(active, schema.build()._j_schema), t_env)


def _columns(table: Table) -> tuple[list[str], list[object]]:
    schema = table.get_resolved_schema()
    return schema.get_column_names(), schema.get_column_data_types()


def _internal(table: Table) -> object:
    """The rows' type in Flink's own format, which costs no conversion."""
    fields = [DataTypes.FIELD(name, kind) for name, kind in zip(*_columns(table), strict=True)]
    rows = get_gateway().jvm.Class.forName("org.apache.flink.table.data.RowData")
    return _to_java_data_type(DataTypes.ROW(fields)).bridgedTo(rows)


def _operator() -> object:
    jvm = get_gateway().jvm
    loader = jvm.Thread.currentThread().getContextClassLoader()
    return loader.loadClass(_CLASS).getDeclaredConstructor(None).newInstance(None)
