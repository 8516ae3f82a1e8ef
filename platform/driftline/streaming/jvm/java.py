"""Compiles our few lines of Java with Flink's embedded compiler, so no JDK is needed."""

import hashlib
import zipfile
from io import BytesIO
from pathlib import Path

from py4j.java_gateway import JavaGateway

from driftline.private_files import write_private


def compiled(gateway: JavaGateway, source: Path) -> dict[str, bytes]:
    """The byte code of a Java file's classes, by class name."""
    compiler = gateway.jvm.org.codehaus.janino.SimpleCompiler()
    compiler.cook(source.read_text())
    return dict(compiler.getBytecodes())


def jar(gateway: JavaGateway, source: Path, folder: Path) -> Path:
    """The jar of a Java file's classes, created in a folder unless it exists already."""
    digest = hashlib.sha256(source.read_bytes()).hexdigest()[:12]
    path = folder / f"{source.stem}-{digest}.jar"
    if not path.exists():
        content = BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            for name, code in compiled(gateway, source).items():
                archive.writestr(f"{name.replace('.', '/')}.class", code)
        write_private(path, content.getvalue())
    return path
