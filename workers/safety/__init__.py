"""What must not come into a data set: personal data, known images, licences, faces, documents."""
