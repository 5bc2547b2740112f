"""One file a page. Each runs itself when Streamlit executes it as the page; importing one draws nothing."""
