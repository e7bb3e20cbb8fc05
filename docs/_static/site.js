// Pages opened from disk may not read one another, so the search shows no excerpts there
if (location.protocol === 'file:') DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
