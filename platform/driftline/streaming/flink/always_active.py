"""Keeps an idle source part of event time.

When all partitions of a source are silent, Flink marks it as idle, and a join ignores an idle input
in its watermark (FLINK-18934). When the source resumes, its first watermark reaches a join on the
shorter path while the longer path still counts as idle: events that wait in a window on the longer
path then come out late. So a single task reads the source, which handles idle partitions
internally, and the idle status is not forwarded to the operators after it.
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
    """The same table with watermarks, read by a single task and never idle.

    Parameters:
        table: of a source with watermarks, without its event time column.
        time: name and SQL expression of the column to add as event time.
        folder: where to put the operator's jar.
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
    """The rows' type in Flink's internal format, which needs no conversion."""
    fields = [DataTypes.FIELD(name, kind) for name, kind in zip(*_columns(table), strict=True)]
    rows = get_gateway().jvm.Class.forName("org.apache.flink.table.data.RowData")
    return _to_java_data_type(DataTypes.ROW(fields)).bridgedTo(rows)


def _operator() -> object:
    jvm = get_gateway().jvm
    loader = jvm.Thread.currentThread().getContextClassLoader()
    return loader.loadClass(_CLASS).getDeclaredConstructor(None).newInstance(None)
