"""PixCrawler: projects that crawl the web for images, validate them and export datasets."""
