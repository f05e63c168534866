"""Deployment: from a list of machines to programs that run there.

::

    cluster       what the file says                    ->  hosts       which programs run on which machine
    facts         what a machine says of itself         ->  units       how systemd starts a program there
    release       the code as one archive               ->  environment its packages
    connection    one step of scripts/board.sh there    ->  steps       what is done on one host
    program       all hosts at the same time, a line for each, the exit code

``on_master`` is what runs on the master's machine. docs/deploying.md is for users.
"""
