"""What an accelerator does: one command that measures all of it and goes on where it stopped."""
