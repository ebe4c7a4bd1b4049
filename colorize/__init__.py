"""Photo collections in; trained, compared, registered image-colorization models out.

Importing this package costs milliseconds: torch, ray, prefect and mlflow are imported by the modules that use them.
"""

__version__ = "0.1.0"
