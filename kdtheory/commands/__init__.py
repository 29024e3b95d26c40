"""The subcommands of `kdtheory`, one file each: a frozen dataclass of flags and its function."""
