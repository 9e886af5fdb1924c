"""Section 6 as a kit: questions as data, the page that asks them, what comes back, and what it says."""

from pathlib import Path

TEMPLATE = Path(__file__).with_name("page.template")
"""The page, but for the survey."""
