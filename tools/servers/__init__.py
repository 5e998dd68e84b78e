"""Starts the servers of this project's tests and benchmarks: Apache Kafka and SeaweedFS."""

from tools.servers.apache_kafka import ApacheKafka, Listener
from tools.servers.seaweedfs import SeaweedFs

__all__ = ["ApacheKafka", "Listener", "SeaweedFs"]
