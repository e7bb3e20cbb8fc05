"""Sphinx extension: formulas become inline SVG when the site is built, so that pages need neither scripts nor fonts nor other hosts for them."""
import re
from xml.etree import ElementTree

import ziamath
from docutils import nodes
from sphinx.util import logging
from ziamath.tex import tex2mml

logger = logging.getLogger(__name__)

ziamath.config.svg2 = False         # paths in place: glyphs shared by id would clash between the formulas of a page
ziamath.config.precision = 2
font_size, text_size = 18, 16       # px: the letters of ziamath's font are smaller than those of the text


def svg(latex, inline):
    "An SVG measured in em, so that it grows with the text around it, in the text's colour and with its baseline on the text's"
    mathml = tex2mml(latex, inline=inline).replace('<mo>&#x00302;', '<mo stretchy="false">&#710;')     # else a \\hat is stretched, and pushed out of its column
    if unknown := re.search(r'\\\w+', mathml): raise ValueError(f'unknown command {unknown[0]}')
    formula = ziamath.Math(mathml, size=font_size)
    xml = formula.svgxml()
    for o in ('width', 'height'): xml.set(o, f'{float(xml.get(o)) / text_size:.3f}em')
    if inline: xml.set('style', f'vertical-align:{(formula.getyofst() - formula.margin) / text_size:.3f}em')
    xml.set('role', 'img')
    xml.set('aria-label', latex)
    return ElementTree.tostring(xml, encoding='unicode').replace('"black"', '"currentColor"')


def draw(node, inline):
    "The formula of `node`; one that cannot be drawn becomes a warning, which ends the build"
    try: return svg(node.astext(), inline)
    except Exception as e:
        logger.warning('cannot draw the formula %s (%s: %s)', node.astext(), type(e).__name__, e, location=node)
        return ''


def visit_inline(self, node):
    self.body.append(draw(node, inline=True))
    raise nodes.SkipNode


def visit_block(self, node):
    self.body.append(f'<div class="formula">{draw(node, inline=False)}</div>\n')
    raise nodes.SkipNode


def setup(app):
    "Registers the renderer that conf.py names"
    app.add_html_math_renderer('svg', (visit_inline, None), (visit_block, None))
    return {'parallel_read_safe': True}
