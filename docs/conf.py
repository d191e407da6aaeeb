"""Sphinx configuration. Build with ``sphinx-build -W -b html docs docs/_build/html``."""

import os
import sys
import tomllib
import warnings
from pathlib import Path

import matplotlib as mpl
from sphinx_gallery.sorting import ExplicitOrder

from fastbcd import __version__

sys.path.insert(0, str(Path(__file__).parent / "_ext"))
os.environ["FASTBCD_NOTICE"] = "0"
mpl.use("Agg")
warnings.filterwarnings("ignore", message=".*FigureCanvasAgg is non-interactive.*")

ROOT = Path(__file__).resolve().parents[1]

project = "fastbcd"
metadata = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
author = metadata["authors"][0]["name"]
copyright = author
version = release = __version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "numpydoc",
    "myst_parser",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "links",
]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["_build", "_templates", "headline.md", "**/*.ipynb", "**/*.py"]
templates_path = ["_templates"]
nitpicky = False

myst_enable_extensions = ["amsmath", "attrs_block", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
suppress_warnings = [
    "myst.header",  # included files start at the level that suits them
    "config.cache",  # the gallery's order is an object
]

autosummary_generate = True
autodoc_typehints = "none"  # the docstrings name the types
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"/plot_",
    "ignore_pattern": r"/(?!plot_)[^/]*\.py$",
    "abort_on_example_error": True,
    "within_subsection_order": "sphinx_gallery.sorting.ExampleTitleSortKey",
    "subsection_order": ExplicitOrder(["*"]),
    "copyfile_regex": r".*\.rst",
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_memory": False,
    "plot_gallery": "True",
    "min_reported_time": 1,
    "backreferences_dir": None,
    "capture_repr": ("_repr_html_",),
    "image_scrapers": ("matplotlib",),
}

html_theme = "pydata_sphinx_theme"
html_title = "fastbcd"
html_static_path = ["_static"]
html_css_files = ["style.css"]
html_show_sourcelink = False
html_sidebars = {"**": []}
html_theme_options = {
    "logo": {"text": "fastbcd"},
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "secondary_sidebar_items": ["page-toc"],
    "show_prev_next": True,
    "footer_start": ["copyright"],
    "footer_end": [],
}
