"""Findings from report text, in English and Chinese.

The package knows neither DICOM, network nor arrays: text in, `nlp.types.Report` out.
`nlp.extract.extract_findings` reads a report, `nlp.assertion.assess` one mention in any text.
"""
