"""FLQ: communication-efficient federated learning on edge clusters.

Map of the package (imports point left only; tests/test_layers.py enforces it)::

    core  <-  protocol  <-  worker, master, engines
    core  <-  training      (the only importer of TensorFlow, inside functions only)

core      mathematics and the settings: numpy only; no I/O, clock, threads or global RNG
protocol  messages, wire format, the two state machines: decide, never perform
training  models, data sets, partitions, local training, evaluation
engines   where workers run: a table, with the simulation as its first row
worker    the process on a board: HTTP client and run loop
master    the process that holds the model:
          http (server), routes (Flask app), live (page, status), runtime (event loop, run),
          storage (journal, snapshots, resume), records (round log, totals, artifacts)
report    rows, workbooks, comparisons
sinks     figures, notifications, trackers: processes beside a run
device    board, sensors, telemetry, doctor
deploy    a cluster over ssh
drawing   the style shared by all figures
console   log lines, progress bars

Shared by all programs: ``errors``, ``flags``, ``addresses`` (hosts and ports), ``launch`` (runs a
module), ``output`` (streams that never raise), ``logfile``, ``durable`` (files that survive a
power failure), ``locks``, ``leftovers`` (temporary files), ``tokens``, ``systemd``.
Shared by master and report: ``journal_file`` (reads and verifies a journal), ``write_ahead_log``. For the master:
``config`` (allowed values of the settings), ``config_file`` (reads them), ``config_hash``.

``core``, ``protocol``, ``training`` and ``worker`` run on Python 3.6 with numpy 1.19.
"""

__version__ = "0.4.0"
