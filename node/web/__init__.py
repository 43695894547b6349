"""The status site: what was received, made and delivered, to be looked at and to be scraped."""
