"""How owners say in headers and files of a site that their work must not be mined or trained on."""
