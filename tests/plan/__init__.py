"""Planning: completeness, series, conditions and routing."""
