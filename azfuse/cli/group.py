"""A command that has subcommands, as every one of azfuse is."""

import difflib

import click


class Group(click.Group):
    """Alone it prints its help; where a word is no command of it, it says the nearest."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Print the help where there are no words, and end. Raises click.UsageError."""
        # click calls this wrong words since 8.2, and prints the help as an error.
        if not args and self.no_args_is_help and not ctx.resilient_parsing:
            click.echo(ctx.get_help(), color=ctx.color)
            ctx.exit()
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that *args* begin with. Raises click.UsageError with the nearest."""
        word = args[0]
        options = [option for parameter in self.get_params(ctx) for option in parameter.opts]
        if not (ctx.resilient_parsing or word.startswith("-")) and not self.get_command(ctx, word):
            near = difflib.get_close_matches(word, [*self.list_commands(ctx), *options], n=1)
            hint = f"did you mean {near[0]}?" if near else f"{ctx.command_path} --help lists all"
            ctx.fail(f"No such command {word!r}; {hint}")
        return super().resolve_command(ctx, args)
