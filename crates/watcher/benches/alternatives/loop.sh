#!/bin/bash
# The watcher's job in bash and curl, for the bench: one tick every 50 ms, three GETs each, no retries, no drains, no memory of what was sent.
token=$(curl -fsS -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 21600' "$IMDS/latest/api/token")
get() { curl -sS -m 1 -f -H "X-aws-ec2-metadata-token: $token" "$IMDS/latest/meta-data/$1" 2>/dev/null; }
field() { sed -n "s/.*\"$1\" *: *\"\([^\"]*\)\".*/\1/p" <<<"$2"; }
last=
while true; do
	if notice=$(get spot/instance-action) && [ "$notice" != "$last" ]; then
		last=$notice
		action=$(field action "$notice") time=$(field time "$notice")
		credentials=$(get "iam/security-credentials/$(get iam/security-credentials/)")
		id=$(printf '%s' "$INSTANCE|interruption|$action|$time" | sha256sum | cut -c1-32)
		message="{\"v\":1,\"id\":\"$id\",\"kind\":\"interruption\",\"instance\":\"$INSTANCE\",\"region\":\"eu-central-1\",\"account\":\"123456789012\",\"action\":\"$action\",\"time\":\"$time\",\"seen\":\"$(date -u +%FT%TZ)\"}"
		curl -sS -m 5 -o /dev/null --cacert "$CA" --aws-sigv4 aws:amz:eu-central-1:sns \
			--user "$(field AccessKeyId "$credentials"):$(field SecretAccessKey "$credentials")" \
			-H "X-Amz-Security-Token: $(field Token "$credentials")" -H 'Content-Type: application/x-www-form-urlencoded; charset=utf-8' \
			--data-urlencode Action=Publish --data-urlencode Version=2010-03-31 --data-urlencode "TopicArn=$TOPIC" --data-urlencode "Message=$message" \
			--data-urlencode MessageAttributes.entry.1.Name=kind --data-urlencode MessageAttributes.entry.1.Value.DataType=String \
			--data-urlencode MessageAttributes.entry.1.Value.StringValue=interruption "$SNS/"
	fi
	get events/recommendations/rebalance >/dev/null
	get autoscaling/target-lifecycle-state >/dev/null
	sleep 0.05
done
