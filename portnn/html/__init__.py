"""HTML for notebooks: tables and small drawings, without scripts; the text's colour is the page's, light or dark."""
