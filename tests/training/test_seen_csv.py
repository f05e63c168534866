"""What FLQ sees in csv files of many kinds, and what it says: one line of a table each."""

import numpy as np
import pytest
from factory import settings_with

from flq.errors import DataError
from flq.training.datasets import load_dataset, resolve_dataset
from flq.training.sources.dataset import sentence


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Return a function that writes a text to toy.csv and reads it."""
    monkeypatch.chdir(tmp_path)

    def read(text, **changes):
        content = text if isinstance(text, bytes) else text.encode("utf-8")
        (tmp_path / "toy.csv").write_bytes(content)
        return load_dataset(resolve_dataset(settings_with(settings_with(**changes), dataset="csv:toy.csv")))

    return read


def rows(n=12, classes="012", columns="0.%d,1.%d", first=""):
    """Return n lines with features that differ and classes in turn."""
    numbers = ["%s,%s" % (columns.replace("%d", str(i * 7 % 11)), classes[i % len(classes)]) for i in range(n)]
    return "".join(line + "\n" for line in ([first] if first else []) + numbers)


def with_row_numbers(first, order=1, start=0):
    """Return 20 lines whose first column numbers them, in order or shuffled."""
    return first + "\n" + "".join("%d,0.%d,%d\n" % (start + i * order % 20, i % 7, i % 2) for i in range(20))


PARTS = "toy.csv: the classes test, train look like parts of a data set, not like classes"
TEXTS = ["cat", "dog", "cow"]
ROW_NUMBERS = (
    "%s of toy.csv looks like row numbers, and a model would learn from them; remove it if it is not a feature"
)
ONLY_FIRST = "only line 1 of toy.csv has the class %s: remove it if it is a heading, correct it if it is misspelled"
LAST = "12 rows, 2 features, class in column 3 (the last), 3 classes"


@pytest.mark.parametrize(
    "text, said",
    [
        # the first line
        (rows(), LAST),
        (rows(first="a,b,y"), "12 rows, 2 features, class in column 'y' (the last), 3 classes; values 0 to 1.9"),
        (rows(first="0,1,2"), "12 rows, 2 features, class in column '2' (the last), 3 classes"),
        (rows(first="0,1,label"), "12 rows, 2 features, class in column 'label' (the last), 3 classes"),
        (rows(first="0,1,label", classes=TEXTS), "12 rows, 2 features, class in column 'label' (the last)"),
        (rows(first="400,410,category"), "12 rows, 2 features, class in column 'category' (the last), 3 classes"),
        (rows(first="2019,2020,kind", classes=TEXTS), "13 rows, 2 features, class in column 3 (the last), 4 classes"),
        (rows(first="1,2,label", classes=TEXTS), "12 rows, 2 features, class in column 'label' (the last)"),
        (rows(first="1,2,y", classes="mn"), "12 rows, 2 features, class in column 'y' (the last), 2 classes: m, n"),
        (rows(first="1,2,y", classes="yn"), "13 rows, 2 features, class in column 3 (the last), 2 classes: n, y"),
        (rows(first="a,b,y", classes="yn"), "12 rows, 2 features, class in column 'y' (the last), 2 classes: n, y"),
        (rows(first="id,1,label"), "12 rows, 2 features, class in column 'label' (the last), 3 classes"),
        (rows(first="a,,y"), "12 rows, 2 features, class in column 'y' (the last), 3 classes"),
        (rows(first="a,b,"), "12 rows, 2 features, class in column 3 (the last), 3 classes"),
        (rows(first=",,"), LAST),
        (rows(first="nan,b,y"), "12 rows, 2 features, class in column 'y' (the last), 3 classes"),
        (rows(first="0.5,0.5,setosa", classes=["a", "setosa"]), "13 rows, 2 features, class in column 3 (the last)"),
        (rows(first="x,y,label"), "12 rows, 2 features, class in column 'label' (the last), 3 classes"),
        (rows(first="# a,b,y"), "12 rows, 2 features, class in column 'y' (the last), 3 classes"),
        (rows(first="\ufeffa,b,y"), "12 rows, 2 features, class in column 'y' (the last), 3 classes"),
        (rows(first=" a , b , y "), "12 rows, 2 features, class in column 'y' (the last), 3 classes"),
        (rows(first='"a","b, in cm","y"'), "12 rows, 2 features, class in column 'y' (the last), 3 classes"),
        (rows(first="Na,Mg,Type"), "12 rows, 2 features, class in column 'Type' (the last), 3 classes"),
        (rows(first="0,1,2", classes=TEXTS), "class in column '2' (the last), 3 classes: cat, cow"),
        (rows(classes=TEXTS), "12 rows, 2 features, class in column 3 (the last), 3 classes: cat, cow, dog"),
        (rows(classes="yn"), "12 rows, 2 features, class in column 3 (the last), 2 classes: n, y"),
        # row numbers that pandas writes
        (with_row_numbers(",a,y"), "20 rows, 1 feature, class in column 'y' (the last), 2 classes"),
        (with_row_numbers(",0,y", start=100), "20 rows, 1 feature, class in column 'y' (the last), 2 classes"),
        (with_row_numbers(",0,1", start=1), "20 rows, 1 feature, class in column '1' (the last), 2 classes"),
        # how the lines are written
        (rows().replace("\n", "\r\n"), LAST),
        (rows().replace("\n", "\r"), LAST),
        ("\n\n" + rows().replace("\n", "\n \n"), LAST),
        (rows().replace("\n", ",\n"), LAST),
        (rows() + ",,\n,,\n", LAST),
        (rows().rstrip("\n"), LAST),
        (rows(classes=["0.0", "1.0", "2.0"]), LAST),
        (rows(classes=["True", "False"]), "2 classes: False, True"),
        (rows(classes=["a b", "c"]), "2 classes: a b, c"),
        (rows(classes=[' "a"', ' "b, c"']), "2 classes: a, b, c"),
        (rows(classes=["1_0", "2_0"]), "2 classes: 1_0, 2_0"),
    ],
)
def test_a_table_is_seen_for_what_it_is(load, text, said):
    dataset = load(text)
    assert said in sentence(dataset.seen)
    assert sentence(dataset.seen).startswith("toy.csv: ")
    assert len(dataset.y_train) + len(dataset.y_test) == dataset.seen.n_samples
    assert dataset.scale == dataset.seen.scale == 1.0


@pytest.mark.parametrize(
    "text, sentence_of_error",
    [
        # a hole in the first line is no heading
        ("0.1,,0\n" + rows(), "toy.csv, line 1, column 2 must be a number, got '' .fill in"),
        ("0.1,NA,0\n" + rows(), "toy.csv, line 1, column 2 must be a number, got 'NA'"),
        ("?,0.2,0\n" + rows(), r"toy.csv, line 1, column 1 must be a number, got '\?'"),
        ("0.1,,setosa\n" + rows(), "toy.csv, line 1, column 2 must be a number, got ''"),
        ("nan,0.2,0\n" + rows(), "toy.csv, line 1, column 1 must be a finite number within float32, got nan"),
        # nor is a missing mark or a mistake in the first line
        (rows(first="n.a.,1,0"), "toy.csv, line 1, column 1 must be a number, got 'n.a.' .fill in the missing value"),
        (rows(first="n.a.,1.5,0"), "toy.csv, line 1, column 1 must be a number, got 'n.a.' .fill in"),
        (rows(first="n.a.,17,0", columns="%d,1%d"), "toy.csv, line 1, column 1 must be a number, got 'n.a.' .fill in"),
        (rows(first="missing,1,0"), "toy.csv, line 1, column 1 must be a number, got 'missing' .fill in"),
        (rows(first="..,1,0"), r"toy.csv, line 1, column 1 must be a number, got '\.\.' .fill in"),
        (rows(first="*,1,0"), r"toy.csv, line 1, column 1 must be a number, got '\*' .fill in"),
        (rows(first="--,1,0"), "toy.csv, line 1, column 1 must be a number, got '--' .fill in"),
        (
            rows(first="1.2x,1,0"),
            "toy.csv, line 1, column 1 must be a number, got '1.2x' .correct it if .* a sample; if",
        ),
        (rows(first="1.2x,1.5,0"), "toy.csv, line 1, column 1 must be a number, got '1.2x' .correct it"),
        (rows(first="O.5,1.5,0"), "toy.csv, line 1, column 1 must be a number, got 'O.5' .correct it"),
        (rows(first="150,4,setosa").replace("4,s", "x,s"), "line 1, column 2 must be a number, got 'x' .correct it"),
        (rows(first="red,big,cat", classes=TEXTS), "toy.csv, line 1, column 1 must be a number, got 'red' .correct it"),
        (rows(first="a,b,7"), "toy.csv, line 1, column 1 must be a number, got 'a' .* give every column a name, not a"),
        (rows(first=",0,1"), "toy.csv, line 1, column 1 must be a number, got ''"),
        # what could be a heading or a sample
        (
            rows(first="1,2,3"),
            "line 1 could be a heading or a sample: it is 1,2,3, and no other line has 3 in column 3",
        ),
        (
            rows(first="2019,2020,2021"),
            "toy.csv, line 1 could be .*if it is a heading, remove it; if it is a sample, w",
        ),
        (rows(first="0.0,1.0,3.0"), "toy.csv, line 1 could be a heading or a sample: it is 0.0,1.0,3.0, and no other"),
        (rows(first="0,1", columns="0.%d", classes="023"), "line 1 could be a heading or a sample: it is 0,1, and no"),
        (
            rows(first="2019,2020,2021,kind", columns="0.%d,1.%d,2", classes=TEXTS),
            "toy.csv, line 1 could be a heading or a sample: it is 2019,2020,2021,kind, and no other line has kind in "
            "column 4 .if it is a heading, set dataset.label_column=kind; if it is a sample, write a heading above it",
        ),
        (
            rows(first="0.5,0.5,unknown"),
            "toy.csv, line 1, column 3: the class is 'unknown', but the other classes are numbers .if the line is a "
            "heading, set dataset.label_column=unknown; if it is a sample, correct its class",
        ),
        (rows(first="0.5,0.5,1x"), "toy.csv, line 1, column 3: the class is '1x', but the other classes are numbers"),
        (rows(first="5.1,3.5,x", classes="01"), "toy.csv, line 1, column 3: the class is 'x', but the other classes"),
        (rows(first="400,410,quality"), "toy.csv, line 1, column 3: the class is 'quality', .*label_column=quality;"),
        (rows(first="a,b,y") + "0.1,inf,0\n", "toy.csv, line 14, column 'b' must be a finite number .* got inf"),
        (rows(first="a,b,y") + "0.1,red,0\n", r"toy.csv, line 14, column 2 \(b\) must be a number, got 'red' .give"),
        (
            "my kind,a,b\n" + "fig,1,2\npear,2,3\n" * 9,
            r"line 2, column 1 \(my kind\) must be a number, got 'fig' .if column 1 is the class, "
            "set dataset.label_column='my kind'; otherwise give each text a number, or remove the column",
        ),
        ("fig,1,2\npear,2,3\n" * 9, "line 2, column 1 must .*if column 1 is the class, set dataset.label_column=0;"),
        ("name,a,b\n" + "".join("n%d,1,2\n" % i for i in range(9)), "column 1 .name. must .*'n0' .give each text a nu"),
        (rows() + "0.1,True,0\n", "line 13, column 2 must be a number, got 'True' .write 1 and 0"),
        (rows() + '0.1,"1,5",0\n', "line 13, column 2 must be a number, got '1,5' .write decimals with a point"),
        (rows() + "0.1,1_0,0\n", "line 13, column 2 must be a number, got '1_0'"),
        (rows() + rows(first="a,b,y"), "line 13, column 1 must be a number, got 'a'"),
        # classes
        (rows() + "0.5,0.5,NA\n", "toy.csv, line 13, column 3: 'NA' is not a class; the other classes are numbers"),
        (rows() + "0.5,0.5,?\n", r"line 13, column 3: '\?' is not a class"),
        (rows() + "0.5,0.5,N/A\n", "line 13, column 3: 'N/A' is not a class"),
        (rows() + "0.5,0.5,nan\n", "line 13, column 3: 'nan' is not a class"),
        (rows() + "0.5,0.5,null\n", "line 13, column 3: 'null' is not a class"),
        (rows() + "0.5,0.5,None\n", "line 13, column 3: 'None' is not a class"),
        (rows() + "0.5,0.5,-\n", "line 13, column 3: '-' is not a class"),
        (rows() + "0.5,0.5,\n", "has a row without a class: line 13, column 3 is empty"),
        (rows(first="0,1,NA"), "toy.csv, line 1, column 3: 'NA' is not a class"),
        ("0.5,0.5,\n" + rows(), "has a row without a class: line 1, column 3 is empty"),
        (rows() + "0.5,0.5,other\n", "has numbers and texts as classes: line 1, column 3 is 0, line 13, column 3 is"),
        (rows(classes=TEXTS) + "0.5,0.5,7\n", "line 13, column 3 is 7, line 1, column 3 is 'cat'"),
        (rows(classes=["-1", "1"]), "classes must be whole numbers in 0..999999 or texts, got -1 in line 1, column 3"),
        (rows(classes=["0.25", "1"]), "got 0.25 in line 1, column 3"),
        (rows(classes="0"), "has one class only, expected 2 or more .dataset.label_column names the column"),
        (rows(classes="1"), "has one class only, expected 2 or more .dataset.label_column names the column"),
        # the class in another column
        (
            "a,b,cat\n" + rows(classes=TEXTS),
            "line 1, column 1 must be a number, got 'a' .* if it is a heading, set dataset.label_column=cat",
        ),
        ("label,p0,p1\n" + rows(), "calls column 1 'label', but FLQ takes the class from the last column, 'p1'"),
        (
            "Class Label,p0,p1\n" + rows(),
            "calls column 1 'Class Label', .*set dataset.label_column='Class Label', or -1",
        ),
        ("a,targets,b\n" + rows(), "calls column 2 'targets', but FLQ takes the class from the last column, 'b'"),
        ("outcome,a,b\n" + rows(), "calls column 1 'outcome', but FLQ takes"),
        ("digit,a,b\n" + rows(), "calls column 1 'digit', but FLQ takes"),
        ("label_id,a,b\n" + rows(), "calls column 1 'label_id', but FLQ takes"),
        ("a,diagnosis,b\n" + rows(), "calls column 2 'diagnosis', but FLQ takes"),
        (
            "a,target,species\n" + rows(),
            "calls 2 columns the class: column 2 'target', column 3 'species' .set dataset",
        ),
        ("label,a,class\n" + rows(), "label_column=label or class; remove the others if a model must not learn from"),
        ("y,a,y\n" + rows(), "calls 2 columns the class: column 1 'y', column 3 'y' .set dataset.label_column=0 or 2;"),
        ("a,Species,b\n" + rows(), "calls column 2 'Species', .*set dataset.label_column=Species, or -1 for the last"),
        # other separators
        (rows().replace(",", ";"), "toy.csv is separated by semicolons, expected commas .for instance: sed"),
        (rows().replace(",", ";").replace(".", ","), "toy.csv is separated by semicolons"),
        (rows(first="a,b,y").replace(",", "\t"), "toy.csv is separated by tabs"),
        (rows().replace(",", "|"), "toy.csv is separated by bars"),
        (rows().replace(",", "  "), "toy.csv is separated by blanks"),
        ("a b y\n" + rows().replace(",", " "), "toy.csv is separated by blanks"),
        ("a;b;y\n" + rows().replace(",", ";").replace(".", ","), "toy.csv is separated by semicolons"),
        ("# by me\n# in May\n" + rows(), "got '# by me' in line 1 .save the table as CSV; remove the lines above it"),
        ("My data\nmade 2024\n" + rows(), "got 'My data' in line 1 .save the table as CSV; remove the lines above it"),
        ("@relation iris\n@data\n" + rows(), "got '@relation iris' in line 1 .save the table as CSV"),
        ("0 1:0.5 2:0.3\n1 1:0.2 2:0.1\n", "got '0 1:0.5 2:0.3' in line 1 .save the table as CSV"),
        ("<!DOCTYPE html>\n<html>404, not found</html>\n", "is not a CSV file, it begins with '<!DOCTYPE html>' .down"),
        ("version https://git-lfs.github.com/spec/v1\nsize 1\n", "is not a CSV file, .* 'version https://git-lfs"),
        (b"\x1f\x8b\x08\x00abcd", "toy.csv is not a CSV file: it is packed by gzip .unpack it: gunzip < toy.csv > new"),
        (b"PK\x03\x04\xff\xfe", "toy.csv is not a CSV file: it is an Excel or zip file .save the table as CSV"),
        ("sep=,\n" + rows(), "line 2 has 3 columns, the first line has 2 .* remove the line if it is not part of the"),
        ("a,y\n" + rows(), "line 2 has 3 columns, the first line has 2 .name every column in the first line"),
        (rows() + '0.1,"0.2,0\n' + rows(), "the first line has 3 .a quote may not be closed"),
        (rows(first='a,b,"y'), "toy.csv has no rows after line 13 .a quote may not be closed"),
        (rows() + "# half\n" + rows(), "toy.csv, line 13 has 1 column, the first line has 3$"),
        (
            "cm,cm,-\n".join(["a,b,y\n", rows()]),
            "line 2, column 1 .a. must be .* got 'cm' .remove the line if it is not",
        ),
        (
            rows(first="a,b,y") + '"1,000",0.5,0\n',
            "got '1,000' .write no commas between thousands, and decimals with a",
        ),
        (",y\n" + "".join("%d,%d\n" % (i, i % 2) for i in range(9)), "has no features: column 1 of toy.csv counts the"),
        ("# of a sensor\n" + rows(), "line 1 has 1 column, '# of a sensor', the next line has 3 .remove the line if"),
        (rows(first="a,b,y").encode("utf-16"), "is not a CSV file: .* .save it as UTF-8"),
        ("h\xf6he,b,y\n".encode("latin-1") + rows().encode(), "is not a CSV file: .* .save it as UTF-8"),
        (rows().replace("\n", ",\n") + "1,2,0,7\n", "line 13, column 4 has a value, but the first"),
        (rows(first="a,b,y").replace("a,b", "b"), "line 2 has 3 columns, the first line has 2"),
    ],
)
def test_what_is_ambiguous_is_refused_with_its_place(load, text, sentence_of_error):
    with pytest.raises(DataError, match=sentence_of_error) as caught:
        load(text)
    assert "toy.csv" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "label_column, said",
    [
        ("kind", "class in column 'kind' (the first), 3 classes"),
        (" Kind ", "class in column 'kind' (the first), 3 classes"),
        ("0", "class in column 'kind' (the first), 3 classes"),
        ("-4", "class in column 'kind' (the first), 3 classes"),
        ("y", "class in column 'y' (number 3), 2 classes"),
        ("-2", "class in column 'y' (number 3), 2 classes"),
        ("9", "dataset.label_column is 9, but toy.csv has 4 columns, 0 to 3"),
        ("-5", "dataset.label_column is -5, but"),
        ("Art", "toy.csv has no column 'Art', which dataset.label_column names; its first line is kind, a, y, b"),
    ],
)
def test_a_column_of_the_class_may_be_named(load, label_column, said):
    text = "kind,a,y,b\n" + "".join("%d,0.%d,%d,0.%d\n" % (i % 3, i * 7 % 10, i % 2, i * 3 % 10) for i in range(12))
    try:
        found = sentence(load(text, label_column=label_column).seen)
    except DataError as error:
        found = str(error)
    assert said in found


@pytest.mark.parametrize(
    "first, label_column, n_rows",
    [
        ("2019,2020,2021,kind", "kind", 12),
        ("400,410,420,quality", "quality", 12),
        ("150,4,setosa,virginica", "virginica", 12),
        ("0.5,0.5,0.5,cat", "cat", 13),  # it names a class, not a column: the line is a sample
    ],
)
def test_the_setting_decides_what_the_first_line_is(load, first, label_column, n_rows):
    dataset = load(rows(first=first, columns="0.%d,1.%d,2", classes=TEXTS), label_column=label_column)
    assert dataset.seen.n_samples == n_rows


def test_a_heading_above_makes_the_first_line_a_sample(load):
    text = rows(first="2019,2020,2021", columns="0.%d,1.%d", classes="012")
    with pytest.raises(DataError, match="could be a heading or a sample"):
        load(text)
    assert load("a,b,y\n" + text).seen.n_samples == 13


def test_a_feature_that_is_called_a_class_is_named(load):
    seen = load("target,a,species\n" + rows(), label_column="species").seen
    assert seen.warnings == (
        "column 'target' of toy.csv is a feature, though its heading calls it a class: remove it if a model must not "
        "learn from it",
    )


def test_features_are_the_other_columns_in_order(load):
    text = "0.5,1,0.25\n0.75,0,0.125\n"
    dataset = load(text, label_column="1")
    both = np.concatenate([dataset.x_train, dataset.x_test])[:, :, 0, 0]
    assert sorted(both.tolist()) == [[0.5, 0.25], [0.75, 0.125]]


@pytest.mark.parametrize(
    "text, notes, warnings",
    [
        (rows(), [], []),
        (rows(first="0,1,2"), ["line 1 of toy.csv is a heading of column numbers, not a sample"], []),
        (
            with_row_numbers(",0,1"),
            [
                "line 1 of toy.csv is a heading of column numbers, not a sample",
                "column 1 of toy.csv counts the rows and is not used",
            ],
            [],
        ),
        (rows(first="0,1,kind"), ["line 1 of toy.csv is the heading, since its class is 'kind'"], []),
        (rows(first=",,"), ["1 line of toy.csv has only commas and is not used"], []),
        (rows() + ",,\n,,\n", ["2 lines of toy.csv have only commas and are not used"], []),
        (rows(columns="0.%d,7"), ["1 column of toy.csv is constant: column 2"], []),
        (with_row_numbers(",a,y"), ["column 1 of toy.csv counts the rows and is not used"], []),
        (
            "Unnamed: 0,a,y\n" + "".join("%d,0.%d,%d\n" % (i + 1, i % 7, i % 2) for i in range(20)),
            ["column 'Unnamed: 0' of toy.csv counts the rows and is not used"],
            [],
        ),
        (
            "id,a,y\n" + "".join("%d,0.%d,%d\n" % (i + 1, i % 7, i % 2) for i in range(9)),
            [],
            [ROW_NUMBERS % "column 'id'"],
        ),
        ("".join("%d,0.%d,%d\n" % (i, i % 7, i % 2) for i in range(9)), [], [ROW_NUMBERS % "column 1"]),
        (with_row_numbers(",a,y", order=7), [], [ROW_NUMBERS % "column 1"]),
        (
            ",a,y\n" + "".join("%d,0.%d,%d\n" % (99 - i, i % 7, i % 2) for i in range(20)),
            ["column 1 of toy.csv counts the rows and is not used"],
            [],
        ),
        (with_row_numbers("sample_id,a,y", order=7), [], [ROW_NUMBERS % "column 'sample_id'"]),
        (with_row_numbers("PassengerId,a,y", order=7), [], [ROW_NUMBERS % "column 'PassengerId'"]),
        (with_row_numbers("depth,a,y", order=7), [], []),
        (
            "Unnamed: 0.1,Unnamed: 0,a,y\n" + "".join("%d,%d,0.%d,%d\n" % (i, i, i % 7, i % 2) for i in range(9)),
            [
                "column 'Unnamed: 0.1' of toy.csv counts the rows and is not used",
                "column 'Unnamed: 0' of toy.csv counts the rows and is not used",
            ],
            [],
        ),
        ("".join("%d,0.%d,%d\n" % (i + 5, i % 7, i % 2) for i in range(5)), [], [ROW_NUMBERS % "column 1"]),
        ("".join("%d,0.%d,%d\n" % (9 - i, i % 7, i % 2) for i in range(9)), [], [ROW_NUMBERS % "column 1"]),
        (
            "a,b,y\n" + "".join("%d,%d,%d\n" % (i, 9 - i, i % 2) for i in range(9)),
            [],
            [
                "column 'a', column 'b' of toy.csv look like row numbers, and a model would learn from them; remove "
                "those that are not features"
            ],
        ),
        (
            rows(classes="123"),
            [],
            [
                "the labels of toy.csv run from 1 to 3: the model has 4 outputs, and class 0 has no samples; subtract "
                "1 from the labels"
            ],
        ),
        (
            rows(classes="0235"),
            [],
            [
                "toy.csv has no samples of the classes 1, 4: the model has 6 outputs, of which 4 have samples; "
                "number the classes 0 to 3 without gaps"
            ],
        ),
        (
            rows(first="1,2,3", classes="0123"),
            [],
            ["line 1 of toy.csv, 1,2,3, is read as a sample: remove it if it is a heading"],
        ),
        (
            rows(first="0,1", columns="0.%d", classes="01"),
            [],
            ["line 1 of toy.csv, 0,1, is read as a sample: remove it if it is a heading"],
        ),
        (rows(first="1,2,label", classes=TEXTS), ["line 1 of toy.csv is the heading, since its class is 'label'"], []),
        (rows(first="0.5,0.5,dgo", classes=TEXTS), [], [ONLY_FIRST % "dgo"]),
        (rows(first="1,2,y", classes=TEXTS[:2]), ["line 1 of toy.csv is the heading, since its class is 'y'"], []),
        (rows(first="0.5,0.5,2", classes="01"), [], [ONLY_FIRST % "2"]),
        (rows(classes=["test", "train"]), [], [PARTS]),
        (rows(classes=["NA", "b"]), [], ["toy.csv: the class 'NA' looks like a missing value"]),
        (rows(classes=["cat", "Cat"]), [], ["toy.csv: the classes 'Cat' and 'cat' differ only in case or blanks"]),
        (
            rows(columns="0.%d,1%d"),
            [],
            [
                "toy.csv has features far outside -1..1: column 2 goes from 10 to 110; standardize each column "
                "(subtract its mean, divide by its standard deviation), or set dataset.scale to divide all columns by "
                "one value"
            ],
        ),
        (
            "".join("0.%d,%d\n" % (i * 7 % 12, i) for i in range(12)),
            [],
            [
                "12 rows of toy.csv have 12 classes; dataset.label_column names the column of the class",
                "toy.csv has no training samples of the class 9, only test samples",
            ],
        ),
    ],
)
def test_what_is_done_and_what_looks_wrong_is_said(load, text, notes, warnings):
    seen = load(text).seen
    assert (list(seen.notes), list(seen.warnings)) == (notes, warnings)


def test_names_stand_on_one_line_without_control_characters(load):
    seen = load(rows(first='"a\nb",c,"k\x1b[1m"', classes=['"x\ny"', "z\x07"]), label_column="k?[1m").seen
    assert seen.class_names == ("x y", "z?") and seen.columns[0] == "column 'a b'"
    assert "class in column 'k?[1m' (the last), 2 classes: x y, z?" in sentence(seen)


def test_with_partition_local_texts_are_refused_and_gaps_are_no_mistake(load):
    with pytest.raises(DataError, match="texts as classes, such as 'cat': with dataset.partition local"):
        load(rows(classes=TEXTS), partition="local", n_classes=3)
    assert load(rows(classes="13"), partition="local", n_classes=9).seen.warnings == ()
