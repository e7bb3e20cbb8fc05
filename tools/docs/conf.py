"""Sphinx settings of the site; `tools.docs.build` writes the sources and calls Sphinx."""
from nbdev.config import get_config

cfg = get_config()
project = cfg.lib_name
extensions = ['myst_parser', 'sphinx.ext.githubpages', 'tools.docs.svgmath']
html_math_renderer = 'svg'
smartquotes = False                 # 'constant' in a sentence is code
suppress_warnings = ['myst.header', 'misc.highlighting_failure']        # a symbol's heading may skip a level; a cell may hold shell commands

# Notebooks are plain Markdown: of MyST's own syntax only what nb2md writes is on
myst_enable_extensions = ['amsmath', 'attrs_block', 'attrs_inline', 'colon_fence', 'dollarmath']
myst_disable_syntax = ['myst_line_comment', 'myst_block_break', 'myst_target', 'myst_role']
myst_dmath_allow_space = False
myst_dmath_double_inline = True
myst_heading_anchors = 6
myst_heading_slug_func = 'tools.docs.nb2md.slug'

html_theme = 'pydata_sphinx_theme'
html_title = project
html_static_path = ['static']
html_css_files, html_js_files = ['site.css'], ['site.js']
html_favicon = 'static/logo.svg'
templates_path = ['templates']
html_sidebars = {'**': ['wings.html']}
html_copy_source = html_show_sphinx = html_show_copyright = html_use_index = html_scaled_image_link = False
html_context = dict(default_mode='auto')
html_theme_options = dict(
    logo=dict(text=project, image_light='_static/logo.svg', image_dark='_static/logo.svg'),
    icon_links=[dict(name='Source on GitHub', url=cfg.git_url, icon='fa-solid fa-code')],
    navbar_center=[], article_header_start=[], footer_start=[], footer_end=[], secondary_sidebar_items=['page-toc'],
    show_toc_level=3, search_as_you_type=True, pygments_light_style='friendly', pygments_dark_style='monokai')
