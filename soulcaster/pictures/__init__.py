"""Pictures of the clusters for people: the map as data, as a page that needs no network, as an image.

Plain values in, text and bytes out; asks no store and writes no file. `map.js` and `map.css` draw the same data in the
app and in the exported page.
"""
