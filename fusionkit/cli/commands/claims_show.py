"""`fusionkit claims show`: the figures of a claim, its data and its trainings."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from fusionkit.interface.console import Console

SUMMARY = "Show the published figures of a claim, the data that they are of and the trainings."


def add_arguments(parser: ArgumentParser) -> None:
    """The options and arguments of the command."""
    parser.add_argument("claim", metavar="CLAIM", help="the name of a published claim, or a claim's file")


def run(args: Namespace, console: Console) -> int:
    """Print the claim."""
    from fusionkit.claims.verdict import published_figure
    from fusionkit.interface.claims import find_claim
    from fusionkit.printable import figures

    claim = find_claim(args.claim)
    content = claim.content
    for line in (content.title, f"source   {content.source}", f"data     {content.data.name}: {content.data.source}",
                 f"prepare  {content.data.prepare}", *(f"note     {note}" for note in content.notes), ""):
        console.line(line)
    rows = []
    for name, row in content.rows.items():
        for metric, cell in row.results.items():
            figure = published_figure(metric, cell, content.data)
            rows.append([name, row.where, metric, "" if figure.value is None else figures(figure.value),
                         figure.interval, f"{content.tolerance if cell.tolerance is None else cell.tolerance:g}"])
    console.table(["row", "where", "metric", "published", "95 % interval", "tolerance"], rows, right=(3, 5))
    console.line("* by a formula, from the number of test cases\n")
    for name in (*content.steps, *content.rows):
        after = claim.before(name)
        console.line(f"{name}: {claim.training(name).graph}" + (f", after {', '.join(after)}" if after else ""))
        for note in content.rows[name].notes if name in content.rows else ():
            console.line(f"  {note}")
    console.data({"name": claim.name, "file": str(claim.file),
                  **content.model_dump(mode="json", by_alias=True, exclude_none=True)})
    return 0
