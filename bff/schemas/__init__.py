"""Every description of data: marshmallow schemas, read by flask-smorest and by `reading`."""
