"""FLQ: federated learning with few bits, on edge clusters.

The map of the package (imports point left only; tests/test_layers.py enforces it)::

    core  <-  protocol  <-  shells: worker, master, simulate, report
    core  <-  training      (the only importer of TensorFlow, and only inside functions)

core      the mathematics: numpy only, no I/O, no clock, no thread, no global RNG
protocol  messages, bytes, and the two state machines: decides, never performs
training  models, data sets, partitions, local training, evaluation
worker    the process on the board: HTTP client and run loop
master    the process that holds the model: Flask app and the thread that owns the machine
simulate  the same machines over memory
report    rows, Excel

Beside them: ``errors``, ``flags`` and ``logfile`` for all programs; ``config`` (what may be
set) and ``config_file`` (how it is read) for the master.

``core``, ``protocol``, ``training`` and ``worker`` run on Python 3.6 with numpy 1.19.
"""

__version__ = "0.2.0"
