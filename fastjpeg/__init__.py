from importlib.metadata import PackageNotFoundError, version

try: __version__ = version('fastjpeg')
except PackageNotFoundError: __version__ = '0+unknown'      # a source tree that is not installed
