"""FLQ: federated learning with few bits, on edge clusters.

The map of the package (imports point left only; tests/test_layers.py enforces it)::

    core  <-  protocol  <-  shells: worker, master, engines, report
    core  <-  training      (the only importer of TensorFlow, and only inside functions)

core      the mathematics: numpy only, no I/O, no clock, no thread, no global RNG
protocol  messages, bytes, and the two state machines: decides, never performs
training  models, data sets, partitions, local training, evaluation
worker    the process on the board: HTTP client and run loop
master    the process that holds the model: Flask app and the thread that owns the machine
engines   who runs workers where: the simulation has both machines in memory
report    rows, Excel
sinks     figures, messages, trackers: processes beside a run

Beside them, for all programs: ``errors``, ``flags``, ``addresses`` (hosts and ports), ``launch``
(runs a module), ``output`` (streams that never raise), ``logfile``, ``durable`` (files that
survive a power failure), ``locks``, ``leftovers`` (temporary files), ``tokens``, ``systemd``.
For master and report: ``journal_file`` (verifies what is read from a journal). For the master:
``config`` (what may be set), ``config_file`` (how it is read), ``config_hash``.

``core``, ``protocol``, ``training`` and ``worker`` run on Python 3.6 with numpy 1.19.
"""

__version__ = "0.2.0"
