"""Pages and figures: only what a report wrote is replaced."""

import pytest

from rollout.errors import UserError
from rollout.store.figure_files import write_figures
from rollout.store.page_files import are_figures, is_page, write_page


def drawing(**files):
    def draw(directory):
        paths = [directory / name.replace("_", ".") for name in files]
        for path, text in zip(paths, files.values(), strict=True):
            path.write_text(text)
        return paths

    return draw


def test_a_page_is_known_by_its_digest_wherever_it_is_copied(tmp_path):
    write_page(tmp_path / "a.html", "<p>one</p>\n")
    (tmp_path / "b.html").write_bytes((tmp_path / "a.html").read_bytes())
    assert is_page(tmp_path / "a.html") and is_page(tmp_path / "b.html")
    (tmp_path / "b.html").write_bytes((tmp_path / "a.html").read_bytes() + b"\n")
    assert not is_page(tmp_path / "b.html")


@pytest.mark.parametrize("text", ["", "<p>", "<!-- written by rollout.report, digest 00 -->\n"])
def test_a_file_of_the_users_is_kept(tmp_path, text):
    page = tmp_path / "page.html"
    page.write_text(text)
    with pytest.raises(UserError, match=r"not as a report wrote it.*output=FILE\.html"):
        write_page(page, "new")
    assert page.read_text() == text
    write_page(page, "new", overwrite=True)
    assert page.read_text().startswith("new")


def test_a_page_with_text_that_is_no_unicode_is_written(tmp_path):
    write_page(tmp_path / "page.html", "half a pair: \ud800")
    assert is_page(tmp_path / "page.html")


def test_a_directory_or_a_missing_parent_is_refused_with_what_to_type(tmp_path):
    for path in (tmp_path, tmp_path / "no/page.html"):
        with pytest.raises(UserError, match=r"type output=FILE\.html"):
            write_page(path, "new")


def test_figures_are_replaced_and_those_that_are_gone_removed(tmp_path):
    figures = tmp_path / "figures"
    write_figures(figures, drawing(a_png="1", b_png="1"))
    assert are_figures(figures)
    write_figures(figures, drawing(a_png="2"))
    assert (figures / "a.png").read_text() == "2"
    assert not (figures / "b.png").exists()


def test_a_users_file_among_the_figures_is_kept(tmp_path):
    figures = tmp_path / "figures"
    figures.mkdir()
    (figures / "a.png").write_text("mine")
    with pytest.raises(UserError, match="no report wrote"):
        write_figures(figures, drawing(a_png="2"))
    assert (figures / "a.png").read_text() == "mine"
    assert not are_figures(figures)


def test_a_directory_with_a_users_file_is_not_all_figures(tmp_path):
    figures = tmp_path / "figures"
    write_figures(figures, drawing(a_png="1"))
    (figures / "mine.txt").write_text("mine")
    assert not are_figures(figures)
    assert not are_figures(tmp_path / "none")
