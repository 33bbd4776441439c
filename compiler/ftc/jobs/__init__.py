"""What each command does, one module a job: a library that the command line and `ftc.api` call."""
