"""Draw docs/img/workbook.png: what the sheets Charts and Rounds of a run's workbook look like.

    python docs/img/workbook.py results/flq_results_digits_lowrank_20261129_024830.xlsx

LibreOffice prints the workbook, pdftotext tells by the footers which pages these sheets begin on, pdftoppm draws them.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageChops

HERE = Path(__file__).resolve().parent
SHEETS = ("Charts", "Rounds")  # from the top down
DPI = 115
FOOTER = 0.92    # of the height of a page, from where on its footer stands
N_COLOURS = 128  # the rare ones of the charts stay
MARGIN = 12      # pixels of white around each sheet


def run(*command: str) -> str:
    """Return what a program prints.

    Raises
    ------
    subprocess.CalledProcessError
        If it fails.
    """
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, universal_newlines=True).stdout


def first_page_of(sheet: str, pdf: str) -> int:
    """Return the page that a sheet begins on, from 1.

    Raises
    ------
    StopIteration
        If no page has its footer.
    """
    pages = run("pdftotext", pdf, "-").split("\f")
    return next(number for number, text in enumerate(pages, start=1) if "%s, page %d of" % (sheet, number) in text)


def drawn(sheet: str, pdf: str) -> Image.Image:
    """Return the first page of a sheet without its footer and the white around it."""
    number = str(first_page_of(sheet, pdf))
    stem = "%s_%s" % (pdf, number)
    run("pdftoppm", "-png", "-singlefile", "-r", str(DPI), "-f", number, "-l", number, pdf, stem)
    page = Image.open(stem + ".png").convert("RGB")
    page = page.crop((0, 0, page.width, int(FOOTER * page.height)))
    return page.crop(ImageChops.invert(page).getbbox())


def main(workbook: str) -> None:
    """Write the picture of a workbook."""
    with tempfile.TemporaryDirectory() as folder:
        run("soffice", "--headless", "--convert-to", "pdf", "--outdir", folder, workbook)
        pages = [drawn(sheet, str(Path(folder) / (Path(workbook).stem + ".pdf"))) for sheet in SHEETS]
    width = max(page.width for page in pages) + 2 * MARGIN
    picture = Image.new("RGB", (width, sum(page.height + 2 * MARGIN for page in pages)), "white")
    top = MARGIN
    for page in pages:
        picture.paste(page, (MARGIN, top))
        top += page.height + 2 * MARGIN
    drawing = picture.quantize(N_COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    drawing.save(HERE / "workbook.png", optimize=True)


if __name__ == "__main__":
    main(sys.argv[1])
