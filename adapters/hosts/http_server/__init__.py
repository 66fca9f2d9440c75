"""Parts of the HTTP host: requests, limits, uploads, streams, and the description of the API."""
