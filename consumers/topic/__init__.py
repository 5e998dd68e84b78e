"""`TopicReader`: the records of topics, read once. `TopicStream`: pairs.clean as samples."""
