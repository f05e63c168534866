"""Draw the first pages of sheets of a workbook, one above the other: workbook.png and compare.png of this folder.

    python docs/img/workbook.py results/FILE.xlsx docs/img/workbook.png Summary
    python docs/img/workbook.py lowrank_fedavg.xlsx docs/img/compare.png Charts

LibreOffice prints the workbook, pdftotext tells by the footers which pages the sheets begin on, pdftoppm draws them.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageChops

DPI = 115
FOOTER = 0.92  # of the height of a page, from where on its footer stands
N_COLOURS = 128  # the rare ones of the charts stay
MARGIN = 12  # pixels of white around each sheet


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


def main(workbook: str, path: str, *sheets: str) -> None:
    """Write the picture of some sheets, from the top down."""
    with tempfile.TemporaryDirectory() as folder:
        run("soffice", "--headless", "--convert-to", "pdf", "--outdir", folder, workbook)
        pages = [drawn(sheet, str(Path(folder) / (Path(workbook).stem + ".pdf"))) for sheet in sheets]
    width = max(page.width for page in pages) + 2 * MARGIN
    picture = Image.new("RGB", (width, sum(page.height + 2 * MARGIN for page in pages)), "white")
    top = MARGIN
    for page in pages:
        picture.paste(page, (MARGIN, top))
        top += page.height + 2 * MARGIN
    drawing = picture.quantize(N_COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    drawing.save(path, optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
