"""Draw docs/img/architecture.svg: the processes and threads, and the layers of the package.

    python docs/img/architecture.py

overwrites the file. The output depends on the standard library only, so it is the same everywhere; a test compares it
with the file.
"""

import sys
from pathlib import Path
from typing import List, NamedTuple, Sequence, Tuple
from xml.sax.saxutils import escape

HERE = Path(__file__).resolve().parent
WIDTH, HEIGHT = 1280, 1252
INK, GREY = "#1f2933", "#5b6770"
FONT = "'Helvetica Neue', Helvetica, Arial, sans-serif"
MONO = "'DejaVu Sans Mono', Menlo, Consolas, monospace"
FILLS = {
    "machine": "#f4f6f8",
    "process": "#ffffff",
    "thread": "#e3eefb",
    "decides": "#fde9c8",
    "disk": "#e5f3e3",
    "tensorflow": "#efe4f7",
    "people": "#f4f6f8",
}


class Drawing:
    """The elements of an SVG file, in painting order."""

    def __init__(self) -> None:
        self._parts: List[str] = []

    def box(
        self,
        x: int,
        y: int,
        width: int,
        height: int,
        kind: str,
        title: str,
        lines: Sequence[str] = (),
        source: str = "",
    ) -> None:
        """Draw a box with its upper left corner at (x, y): title, lines of text, source file at the foot."""
        self._parts.append(
            '<rect x="%d" y="%d" width="%d" height="%d" rx="7" fill="%s" stroke="%s"/>'
            % (x, y, width, height, FILLS[kind], GREY)
        )
        if title:
            self.text(x + 12, y + 23, title, bold=True, size=15)
        for index, line in enumerate(lines):
            self.text(x + 12, y + 44 + 19 * index, line)
        if source:
            self.text(x + 12, y + height - 11, source, color=GREY, size=12, mono=True)

    def text(
        self,
        x: int,
        y: int,
        text: str,
        bold: bool = False,
        color: str = INK,
        size: int = 13,
        anchor: str = "start",
        mono: bool = False,
    ) -> None:
        """Write one line of text."""
        self._parts.append(
            '<text x="%d" y="%d" font-family="%s" font-size="%d" fill="%s" text-anchor="%s"%s>%s</text>'
            % (x, y, MONO if mono else FONT, size, color, anchor, ' font-weight="600"' if bold else "", escape(text))
        )

    def arrow(self, points: Sequence[Sequence[int]], both: bool = False) -> None:
        """Draw a line through the points with an arrow head at its end, or at both ends."""
        path = " ".join("%d,%d" % (x, y) for x, y in points)
        self._parts.append(
            '<polyline points="%s" fill="none" stroke="%s" stroke-width="1.8"'
            ' marker-end="url(#head)"%s/>' % (path, INK, ' marker-start="url(#head)"' if both else "")
        )

    def svg(self) -> str:
        head = (
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img">\n'
            "<title>%s</title>\n"
            '<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" '
            'orient="auto-start-reverse"><path d="M0,0 L10,5 L0,10 z" fill="%s"/></marker></defs>\n'
            '<rect width="%d" height="%d" fill="#ffffff"/>\n'
            % (WIDTH, HEIGHT, WIDTH, HEIGHT, "Architecture of FLQ", INK, WIDTH, HEIGHT)
        )
        return head + "\n".join(self._parts) + "\n</svg>\n"


def picture() -> str:
    """Return the picture as SVG."""
    drawing = Drawing()
    drawing.text(20, 34, "Processes and threads", bold=True, size=20)
    _worker(drawing)
    _master(drawing)
    _wire(drawing)
    drawing.text(20, 824, "Layers: imports point downwards only", bold=True, size=20)
    _layers(drawing)
    return drawing.svg()


def _worker(drawing: Drawing) -> None:
    for shift in (16, 8, 0):  # a stack: many workers
        drawing.box(20 + shift, 50 + shift, 400, 704, "machine", "")
    drawing.text(32, 73, "A worker's machine (one of many)", bold=True, size=15)
    drawing.box(36, 88, 368, 512, "process", "Worker process")
    drawing.box(52, 122, 336, 188, "thread", "Run loop: one action, one event", source="worker/program.py")
    drawing.box(
        68,
        160,
        304,
        106,
        "decides",
        "State machine: decides",
        ["what to request, train, store and send"],
        "protocol/worker_machine.py",
    )
    drawing.box(
        52,
        360,
        336,
        84,
        "tensorflow",
        "Local training: TensorFlow",
        ["on data that never leave the machine"],
        "training/",
    )
    drawing.box(
        52,
        494,
        336,
        84,
        "thread",
        "Heartbeat thread",
        ["renews the lease, reports telemetry"],
        "worker/heartbeat.py, device/",
    )
    drawing.box(
        36,
        640,
        368,
        98,
        "disk",
        "State file",
        ["memory (residual or mirror), pending upload;", "on disk before the upload is sent"],
    )
    drawing.arrow([(220, 310), (220, 360)], both=True)
    drawing.arrow([(60, 310), (60, 330), (44, 330), (44, 640)])


def _wire(drawing: Drawing) -> None:
    drawing.text(530, 78, "HTTP or HTTPS,", anchor="middle", bold=True)
    drawing.text(530, 97, "opened by workers only", anchor="middle", bold=True)
    calls = (
        ("POST /register", "JSON: settings, layout", 140),
        ("GET /get_global_model", "plan, model delta", 190),
        ("POST /offer", "skip, or cost of an upload", 240),
        ("POST /upload_update", "the encoded update", 290),
        ("POST /heartbeat", "JSON: alive, load, watts", 530),
    )
    for call, meaning, y in calls:
        drawing.text(530, y - 6, call, anchor="middle", mono=True, size=12)
        drawing.arrow([(404 if y > 400 else 388, y), (650, y)], both=True)
        drawing.text(530, y + 16, meaning, anchor="middle", color=GREY)


def _master(drawing: Drawing) -> None:
    drawing.box(634, 50, 626, 704, "machine", "The master's machine")
    drawing.box(650, 88, 380, 650, "process", "Master process")
    drawing.box(
        666,
        122,
        348,
        84,
        "thread",
        "Request threads",
        ["check tokens, read and decode frames"],
        "master/routes/app.py, http/server.py",
    )
    drawing.box(
        666,
        246,
        348,
        148,
        "thread",
        "Event loop: performs effects in order",
        source="master/runtime/event_loop.py, run.py",
    )
    drawing.box(
        682,
        276,
        316,
        86,
        "decides",
        "State machine: decides",
        ["membership, rounds, model, delivery"],
        "protocol/master_machine.py",
    )
    drawing.box(
        666,
        434,
        348,
        84,
        "thread",
        "Published status, page and model",
        ["readers never wait for the event loop"],
        "master/live/status.py, broadcast.py",
    )
    drawing.box(666, 534, 348, 64, "thread", "Saver thread", ["writes results in the background"])
    drawing.box(
        666,
        618,
        348,
        104,
        "thread",
        "Sink threads, one per sink",
        ["an event is one line in the sink's queue;", "a sink that hangs or exits is restarted"],
        "master/runtime/sinks.py",
    )
    drawing.box(
        1070,
        122,
        174,
        104,
        "people",
        "People and tools",
        ["browser: live page;", "curl, Prometheus:", "status, model, stop"],
    )
    drawing.box(1070, 246, 174, 106, "disk", "Journal", ["events, snapshots;", "written before", "a reply is sent"])
    drawing.box(
        1070,
        374,
        174,
        100,
        "tensorflow",
        "Evaluator process",
        ["TensorFlow; its results", "go into the round log,", "not into the model"],
    )
    drawing.box(1070, 534, 174, 64, "disk", "Results", ["workbook, model, figures"])
    drawing.box(1070, 618, 174, 104, "process", "Sink processes", ["figures, messages,", "trackers; one-way"], "sinks/")
    drawing.arrow([(840, 206), (840, 246)], both=True)
    drawing.text(852, 231, "events, replies", color=GREY)
    drawing.arrow([(840, 394), (840, 434)])
    drawing.arrow([(1014, 290), (1070, 290)])
    drawing.arrow([(1070, 164), (1014, 164)], both=True)
    drawing.arrow([(1014, 384), (1070, 384)], both=True)
    drawing.arrow([(1014, 566), (1070, 566)])
    drawing.arrow([(1014, 670), (1070, 670)])
    drawing.arrow([(1157, 618), (1157, 598)])
    for y in (566, 670):
        drawing.arrow([(666, 330), (658, 330), (658, y), (666, y)])


class Row(NamedTuple):
    """Layers that stand side by side."""

    y: int
    kind: str
    layers: Tuple[Tuple[str, str], ...]  # name, content
    height: int = 60


ROWS = (
    Row(
        838,
        "people",
        (
            ("flq_worker.py", "a program"),
            ("flq_master.py", "a program"),
            ("flq_fed_v3.py", "the algorithm in one file"),
            ("deploy_jetson.sh", "a program"),
        ),
    ),
    Row(
        914,
        "thread",
        (
            ("worker", "HTTP client, run loop, heartbeat"),
            ("master", "HTTP server, event loop, journal, live page"),
            ("engines", "where workers run: the simulation"),
            ("deploy", "a cluster over ssh"),
        ),
        82,
    ),
    Row(1012, "process", (("sinks", "figures, messages, trackers: processes beside a run"), ("config", "settings"))),
    Row(
        1088,
        "tensorflow",
        (
            ("protocol", "messages, wire format, state machines"),
            ("training", "data, models, TensorFlow"),
            ("report", "rows, workbooks, comparisons"),
        ),
    ),
    Row(
        1164,
        "disk",
        (
            ("core", "mathematics: numpy, pure functions"),
            ("device", "board, sensors, doctor"),
            ("drawing", "the style of all figures"),
            ("console", "log lines, progress bars"),
        ),
    ),
)
ROOMS = {"master": ["http, routes, live, runtime, storage, records"]}


def _layers(drawing: Drawing) -> None:
    for row in ROWS:
        width = (1176 - 16 * (len(row.layers) - 1)) // len(row.layers)
        for index, (name, content) in enumerate(row.layers):
            kind = "decides" if name == "protocol" else row.kind
            x = 20 + index * (width + 16)
            drawing.box(x, row.y, width, row.height, kind, name, [content, *ROOMS.get(name, [])])
    drawing.arrow([(1230, 840), (1230, 1222)])


def main() -> int:
    """Write the picture."""
    (HERE / "architecture.svg").write_text(picture(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
