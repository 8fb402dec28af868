#!/bin/sh
# Runs the broker of this pod (kafka-0, kafka-1, kafka-2). Passwords are only in files in the pod's
# memory, never in an argument or a variable.
set -eu
umask 077
secrets=/run/secrets/kafka
config=/run/kafka/server.properties
id=${HOSTNAME##*-}
broker=$(cat $secrets/broker-password)
client=$(cat $secrets/client-password)

{
  cat /etc/kafka-server/server.properties
  echo "node.id=$id"
  echo "advertised.listeners=INTERNAL://$HOSTNAME.kafka:9092"
  echo "broker.rack=${ZONE:-$HOSTNAME}"
  echo "listener.name.internal.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username=\"kafka\" password=\"$broker\";"
  echo "listener.name.controller.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required username=\"kafka\" password=\"$broker\" user_kafka=\"$broker\";"
} > $config

# Formatting a volume, which happens once, creates the users.
printf '%s\n' \
  --config $config \
  --cluster-id "$CLUSTER_ID" \
  --ignore-formatted \
  --add-scram "SCRAM-SHA-512=[name=kafka,password=$broker]" \
  --add-scram "SCRAM-SHA-512=[name=log-pipeline,password=$client]" > /run/kafka/format
/opt/kafka/bin/kafka-storage.sh format @/run/kafka/format >/dev/null  # it prints the users' keys
rm /run/kafka/format

exec /opt/kafka/bin/kafka-server-start.sh $config
