"""Measure the product model on the labelled stock codes of a file of invoice lines.

python -m tests.product_quality path/to/online_retail_II.csv
python -m tests.product_quality path/to/online_retail_II.csv --held-out
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from include.enrichment.product.training import train
from include.sources.model import SourceRejected
from tests.product_quality.measures import confusion_table, descriptions_of, evaluate, load_labels

app = typer.Typer(help=__doc__, add_completion=False, rich_markup_mode=None)


@app.command()
def main(
    file: Annotated[Path, typer.Argument(help="invoice lines in the shape of Online Retail II")],
    held_out: Annotated[bool, typer.Option("--held-out", help="use the labels that were not used for tuning")] = False,
) -> None:
    """Print accuracy, macro-F1, coverage and the confusion matrix."""
    labels = load_labels("held_out" if held_out else "tuning")
    model = train()
    try:
        scores = evaluate(model, labels, descriptions_of(file))
    except (SourceRejected, OSError, ValueError) as error:
        typer.echo(error, err=True)
        raise typer.Exit(1) from error
    print(f"model              {model.version}")
    print(f"labels             {'held out' if held_out else 'tuning'}, {scores.rows} of {len(labels)} in the file")
    print(f"accuracy           {scores.accuracy:.3f}")
    print(f"macro-F1           {scores.macro_f1:.3f}")
    print(f"coverage           {scores.coverage:.3f}")
    print(f"accuracy, answered {scores.accuracy_answered:.3f}")
    print(f"\nRows: label; columns: answer.\n{confusion_table(scores.confusion)}")


if __name__ == "__main__":
    app()
