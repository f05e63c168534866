"""Deployment: installs and starts the programs on a list of machines.

::

    cluster   the checked cluster file      ->  hosts        the programs of each machine
    facts     the facts about a machine     ->  units        the systemd unit of a program
    release   the code as one archive       ->  environment  the Python packages for it
    ssh       one step of scripts/board.sh  ->  steps        the deployment of one host
    fleet     all hosts in parallel, with a line for each, and the exit code

``on_master`` runs on the master's machine. docs/deploying.md is the guide for users.
"""
