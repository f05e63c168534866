"""Formats the output of the subcommands: a line on the run, and tables."""

from typing import Any, Dict, List, Mapping, Optional, Sequence

from .hosts import Host
from .programs import ProgramRecord

NOTHING = "-"


def run_line(status: Mapping[str, Any]) -> str:
    """Return a line on a run, from the master's /status."""
    if "run_id" not in status:
        return _last_line(status.get("last"), status.get("problem"))
    workers = status["worker_status"]
    accuracy = NOTHING if status["accuracy"] is None else "%.4f" % status["accuracy"]
    line = "run %s %s round=%d/%d connected=%d/%d accuracy=%s" % (
        status["run_id"],
        status["state"],
        status["current_round"],
        status["max_rounds"],
        status["connected_workers"],
        len(workers),
        accuracy,
    )
    return line + (" problem: %s" % status["problem"] if status.get("problem") else "")


def _last_line(last: Optional[Mapping[str, Any]], problem: Optional[str]) -> str:
    """Return a line on the last run of a master that does not respond."""
    if last is None:
        return "run: %s" % (problem or "no information about it")
    if last["ended"] is None:
        words = ["run %s is not finished; ./deploy_jetson.sh start resumes it" % last["run_id"]]
        words += ["results so far: " + last["workbook"]] if last["workbook"] else []
        return "; ".join(words + ([problem] if problem else []))
    return ("run %s has ended: %s; %s; ./deploy_jetson.sh collect fetches its files, start starts the next run") % (
        last["run_id"],
        last["ended"],
        "results: " + last["workbook"] if last["workbook"] else "its workbook no longer exists",
    )


def workers_table(
    hosts: Sequence[Host], records: Mapping[str, Mapping[str, ProgramRecord]], status: Mapping[str, Any]
) -> str:
    """Return a table of the programs: their state on the host, and in the master's status."""
    rows = [["host", "program", "unit", "connected", "round", "uploaded", "skipped", "loss", "up", "down"]]
    known = status.get("worker_status", {})
    for host in hosts:
        for program in host.programs:
            record = records.get(host.name, {}).get(program.unit)
            state = "unreachable" if host.name not in records else "not deployed" if record is None else record.state
            member: Dict[str, Any] = known.get(str(program.worker_id), {})
            loss = member.get("loss")
            rows.append(
                [
                    host.name,
                    program.log_name,
                    state,
                    {True: "yes", False: "no"}.get(member.get("connected"), NOTHING),
                    *(str(member.get(key, NOTHING)) for key in ("round", "uploaded", "skipped")),
                    NOTHING if loss is None else "%.4f" % loss,
                    *(str(member.get(key, NOTHING)) for key in ("wire_bytes_up", "wire_bytes_down")),
                ]
            )
    return table(rows)


def manifest_table(manifests: Sequence[Mapping[str, Any]]) -> str:
    """Return a table of class counts by worker, with the range and scale of values if any worker tells them."""
    n_classes = max([len(found.get("classes", [])) for found in manifests] or [0])
    has_values = any(found.get("values") for found in manifests)
    heads = ["values", "scale"] * has_values
    rows = [["worker", "samples", "shape", *heads, *("class %d" % index for index in range(n_classes))]]
    for found in manifests:
        values = found.get("values")
        told = ["%(lowest).4g..%(highest).4g" % values, "%.7g" % values["scale"]] if values else [NOTHING] * 2
        counts = list(found.get("classes", []))
        shape = "x".join(str(size) for size in found.get("input_shape") or []) or NOTHING
        rows.append(
            [
                str(found.get("worker_id", NOTHING)),
                str(found.get("n_samples", NOTHING)),
                shape,
                *told[: len(heads)],
                *(str(count) for count in counts),
                *[NOTHING] * (n_classes - len(counts)),
            ]
        )
    return table(rows)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as text in aligned columns."""
    widths: List[int] = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)
