"""`driftline models …`."""

import typer

from driftline.cli.models import promotion, register, roles, versions

models = typer.Typer(
    help="Register, promote, roll back and compare model versions.", no_args_is_help=True
)

for command in (
    register.register,
    promotion.promote,
    promotion.rollback,
    promotion.history,
    versions.compare,
    versions.retire,
    versions.reinstate,
    roles.shadow,
    roles.challenge,
    roles.canary,
):
    models.command()(command)
models.command("show")(versions.show_version)
models.command("list")(register.list_versions)
