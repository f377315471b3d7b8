package mystery // want unknown-package
