"""``python -m node`` is ``wetread``."""

from node.cli.main import cli

if __name__ == "__main__":
    cli(prog_name="wetread")
