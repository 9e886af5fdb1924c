"""What each notebook does: made and written as the workflow goes, read where a finished run is opened."""
