"""Classifies descriptions, or measures the product model on the labelled stock codes of a file of invoice lines.

python -m include.enrichment.product classify "DESCRIPTION" ...
python -m include.enrichment.product evaluate FILE [--held-out]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from include.enrichment.product.evaluation import confusion_table, descriptions_of, evaluate, load_labels
from include.enrichment.product.training import train
from include.sources.model import SourceRejected


def _classify(descriptions: Sequence[str]) -> None:
    for description, facts in zip(descriptions, train().classify(descriptions), strict=True):
        print(json.dumps({"description": description, **asdict(facts)}, ensure_ascii=False))


def _evaluate(path: Path, held_out: bool) -> None:
    labels = load_labels("held_out" if held_out else "tuning")
    model = train()
    scores = evaluate(model, labels, descriptions_of(path))
    print(f"model              {model.version}")
    print(f"labels             {'held out' if held_out else 'tuning'}, {scores.rows} of {len(labels)} in the file")
    print(f"accuracy           {scores.accuracy:.3f}")
    print(f"macro-F1           {scores.macro_f1:.3f}")
    print(f"coverage           {scores.coverage:.3f}")
    print(f"accuracy, answered {scores.accuracy_answered:.3f}")
    print(f"\nRows: label; columns: answer.\n{confusion_table(scores.confusion)}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 1 if a file cannot be evaluated."""
    summary, _, usage = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m include.enrichment.product",
        description=summary,
        epilog=usage,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    classify = commands.add_parser("classify", help="print one JSON object a description")
    classify.add_argument("descriptions", nargs="+", metavar="DESCRIPTION")
    measure = commands.add_parser("evaluate", help="print accuracy, macro-F1, coverage and the confusion matrix")
    measure.add_argument("file", type=Path, metavar="FILE", help="invoice lines in the shape of Online Retail II")
    measure.add_argument("--held-out", action="store_true", help="use the labels that were not used for tuning")
    options = parser.parse_args(arguments)
    if options.command == "classify":
        _classify(options.descriptions)
        return 0
    try:
        _evaluate(options.file, options.held_out)
    except (SourceRejected, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
