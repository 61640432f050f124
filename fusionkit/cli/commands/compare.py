"""`fusionkit compare`: one node of a graph, several fusions in it, one table."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from fusionkit.cli.arguments import add_data_root_option, add_graph_options, add_training_options, given
from fusionkit.interface.console import Console

SUMMARY = "Compare fusions: train each in one node, on the same cases and seeds."
FAILED = 1


def add_arguments(parser: ArgumentParser) -> None:
    """The options and arguments of the command."""
    parser.add_argument("graph", metavar="GRAPH", help="a graph file, or the name of a published graph")
    parser.add_argument("data", metavar="DATA", help="a data description (data.yaml)")
    parser.add_argument("--node", required=True, metavar="NODE", help="the node whose fusion is swapped")
    parser.add_argument("--with", required=True, metavar="ID,ID{OPTION: VALUE}", dest="candidates",
                        action="append", help="the fusions to try, in addition to the node's own, which is the "
                                              "reference: ids, 'all', 'category:NAME' or a pattern such as "
                                              "'fusion.late_*'; may be given several times")
    parser.add_argument("--folds", type=int, metavar="K", help="use K folds instead of the data file's split")
    parser.add_argument("--repeats", type=int, default=1, metavar="N",
                        help="train N times, each with the next seed and with folds drawn anew (default 1)")
    parser.add_argument("--seeds", type=int, default=1, metavar="N",
                        help="train N times, each with the next seed and on the same folds, which tells how much of "
                        "the spread is due to folds and how much to seeds (default 1)")
    parser.add_argument("--margin", type=float, metavar="X",
                        help="the largest difference in the metric that does not matter, recorded before training")
    parser.add_argument("--claim", metavar="CLAIM",
                        help="what is to be shown of the candidates: noninferiority (the default with --margin), "
                        "equivalence or superiority")
    parser.add_argument("--tune", type=int, metavar="N",
                        help="choose the settings of every network by N trials on an inner division of the training "
                             "cases of each fold")
    parser.add_argument("--inner", default="holdout", metavar="holdout|K",
                        help="what trials are judged on: a quarter of the training cases, or K inner folds (default "
                             "holdout)")
    parser.add_argument("--choose", choices=("best", "one-se"), default="best",
                        help="which trial is chosen: the best, or the one with the fewest weights within one standard "
                             "error of it, which needs inner folds (default best)")
    parser.add_argument("--prune", action="store_true",
                        help="end trials between inner folds that are below the median of those before; they count")
    parser.add_argument("--space", metavar="FILE",
                        help="a file of YAML that overrides what trials try, by names or patterns of settings")
    parser.add_argument("--metric", metavar="ID", help="the installed metric to compare by, with options in braces "
                                                       "(default: auroc; mae for regression)")
    parser.add_argument("--reuse", choices=("auto", "features", "batches", "nothing"), default="auto",
                        help="what candidates share of frozen nodes: features, computed once and cached; batches, "
                        "computed once for each batch; nothing (default auto)")
    parser.add_argument("--jobs", type=int, default=1, metavar="N",
                        help="train in N processes on this machine, which share the folder; the weights are the same "
                             "(default 1)")
    parser.add_argument("--launcher", choices=("processes", "slurm", "ray"), default="processes",
                        help="what the jobs are: processes of this machine, an array job of Slurm, or tasks of a Ray "
                             "cluster, which share the folder on a disk (extras: slurm, ray; default processes)")
    parser.add_argument("--launcher-option", metavar="NAME=VALUE", dest="launcher_options", action="append", default=[],
                        help="a parameter of Slurm or Ray for each job, such as partition=gpu or num_cpus=4; may be "
                             "repeated")
    parser.add_argument("--budget", metavar="TIME",
                        help="the time that all of it may take, such as 8h, 90min or 1.5d: as many folds as fit are "
                             "run, each for all networks, and what was not run is said")
    parser.add_argument("--missing-rates", metavar="P,P",
                        help="measure every network with inputs of the test cases left out at random, with these "
                             "probabilities, such as 0,0.2,0.5")
    parser.add_argument("--dropout-rows", type=float, default=0.0, metavar="P",
                        help="add every network that can do without an input once more, trained with this modality "
                             "dropout")
    parser.add_argument("--no-baselines", action="store_false", dest="baselines",
                        help="leave out the single-input networks and scikit-learn on the tables")
    parser.add_argument("--tabicl", metavar="FILE",
                        help="weights of TabICL, which is then one more row, on the tables alone (extra: tabicl)")
    parser.add_argument("--memory", type=int, default=4096, metavar="MB",
                        help="how much memory TabICL may take (default 4096)")
    parser.add_argument("-o", "--output", metavar="DIR", default="compare",
                        help="where to write; repeating the command resumes from this folder (default: compare)")
    add_training_options(parser, without=("fold", "stage"))
    add_data_root_option(parser)
    add_graph_options(parser)


def run(args: Namespace, console: Console) -> int:
    """Check every candidate, train them, and show the results."""
    if args.launcher == "processes":
        from fusionkit.comparison.jobs.forked import start_early

        start_early(args.jobs, args.device)
    from fusionkit.comparison import outlook, tables
    from fusionkit.comparison.missing_rates import missing_table, missing_texts
    from fusionkit.interface.compare import compare

    made = compare(**{**given(args), "candidates": ",".join(args.candidates)}, console=console)
    for ranking in made.result.rankings:
        console.line(f"\n{tables.summary(made.result, ranking)}")
        names = tables.header(ranking)
        console.table(names, tables.table(made.result, ranking), right=tables.numbers_of(names))
        for text in tables.verdicts(ranking):
            console.line(text)
        names, rows = outlook.outlook_table(ranking)
        if rows and (ranking.claim or made.result.seeds > 1):
            console.line()
            console.table(names, rows, right=range(1, len(names)))
            for text in outlook.outlook_texts(ranking):
                console.line(text)
        if absent := made.result.absent.get(ranking.head.name):
            console.line()
            names, rows = missing_table(absent)
            console.table(names, rows, right=range(1, len(names)))
            for text in missing_texts(made.result.absent_left_out, made.result.comparison):
                console.line(text)
    names, rows = outlook.tuning_table(made.result.tuned)
    if rows:
        console.line()
        console.table(names, rows, right=range(1, len(names) - 1))
        names, rows = outlook.stability_table(made.result.tuned)
        if rows:
            console.line()
            console.table(names, rows, right=(4,))
        for text in outlook.tuning_texts(made.result.tuned):
            console.line(text)
    for text in made.result.accounts[-2:]:
        console.line(text)
    for text in outlook.declared_texts(made.result.declared):
        console.line(text)
    console.line(f"\nthe report is {made.report}; compare.csv, compare.json and the rank plot are in the same folder")
    console.data(made.as_json())
    return FAILED if made.failed else 0
