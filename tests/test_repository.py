"""What must hold of the repository as a whole: modules, notebooks, style and packages agree with one another."""
import os
import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

root = Path(__file__).parent.parent
bin_dir = Path(sys.executable).parent


def sh(*cmd, cwd=root, **env):
    res = subprocess.run([str(o) for o in cmd], cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True)
    assert res.returncode == 0, f'{cmd} failed in {cwd}\n{res.stdout[-4000:]}\n{res.stderr[-4000:]}'
    return res.stdout


def copy_tree(dest, *names):
    "A copy of the named parts of the repository, so that no check writes into it"
    for o in names:
        src = root/o
        if src.is_dir(): shutil.copytree(src, dest/o, ignore=shutil.ignore_patterns('__pycache__', '.ipynb_checkpoints', '*.egg-info'))
        else: shutil.copy(src, dest/o)
    return dest


def same(a, b, pattern):
    "Fails with the names of files below `a` and `b` that differ"
    names = {o.relative_to(d) for d in (a, b) for o in d.rglob(pattern) if '__pycache__' not in o.parts and '.ipynb_checkpoints' not in o.parts}
    diff = [str(o) for o in sorted(names) if not ((a/o).exists() and (b/o).exists() and (a/o).read_bytes() == (b/o).read_bytes())]
    assert not diff, f'differ from what nbdev makes of them: {diff}'


def test_modules_are_exported(tmp_path):
    copy_tree(tmp_path, 'nbs', 'fastjpeg', 'pyproject.toml', 'settings.ini')
    sh(bin_dir/'nbdev-export', cwd=tmp_path)
    same(root/'fastjpeg', tmp_path/'fastjpeg', '*.py')


def test_notebooks_are_clean(tmp_path):
    copy_tree(tmp_path, 'nbs', 'fastjpeg', 'pyproject.toml', 'settings.ini')
    sh(bin_dir/'nbdev-clean', cwd=tmp_path)
    same(root/'nbs', tmp_path/'nbs', '*.ipynb')


def test_ruff(): sh(sys.executable, '-m', 'ruff', 'check', '--no-cache', '.')


def test_wheel_from_sdist_installs(tmp_path):
    src = tmp_path/'src'
    src.mkdir()
    copy_tree(src, 'fastjpeg', 'setup.py', 'settings.ini', 'pyproject.toml', 'MANIFEST.in', 'README.md', 'LICENSE')
    sh(sys.executable, '-m', 'build', '--no-isolation', '--outdir', tmp_path/'dist', src)       # the sdist, and the wheel from it
    sh(sys.executable, '-m', 'twine', 'check', '--strict', *(tmp_path/'dist').iterdir())
    wheel, = (tmp_path/'dist').glob('*.whl')
    sh(sys.executable, '-m', 'pip', 'install', '-q', '--no-deps', '--target', tmp_path/'site', wheel)
    modules = [o.relative_to(root).with_suffix('').as_posix().replace('/', '.').removesuffix('.__init__') for o in (root/'fastjpeg').rglob('*.py')]
    code = f'import importlib, fastjpeg; [importlib.import_module(o) for o in {modules}]; print(fastjpeg.__file__, fastjpeg.__version__)'
    out = sh(sys.executable, '-W', 'ignore', '-c', code, cwd=tmp_path, PYTHONPATH=str(tmp_path/'site'))
    assert str(tmp_path/'site') in out, out


def test_requirements_are_pinned():
    "What `make test` installs is what it was green with: a requirement without a version in constraints.txt would be the newest of the day"
    ini = ConfigParser(interpolation=None)
    ini.read(root/'settings.ini')
    read = lambda lines: [Requirement(o) for o in lines.splitlines() if o.strip() and not o.startswith('#')]     # noqa: E731
    pins = {canonicalize_name(o.name): next(iter(o.specifier)).version for o in read((root/'constraints.txt').read_text()) if not o.marker or o.marker.evaluate()}
    asked = [o for k, v in ini['DEFAULT'].items() if k.endswith('requirements') for o in read(v)]
    loose = [str(o) for o in asked if pins.get(canonicalize_name(o.name)) not in o.specifier]
    assert not loose, f'constraints.txt has no version of these, or one that settings.ini does not allow; run `make pins`: {loose}'


def test_one_version():
    version = next(o.split('=')[1].strip() for o in (root/'settings.ini').read_text().splitlines() if o.startswith('version'))
    assert f'\nversion: {version}\n' in (root/'CITATION.cff').read_text(), f'CITATION.cff has another version than settings.ini ({version})'
