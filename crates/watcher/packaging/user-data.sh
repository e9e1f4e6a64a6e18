#!/bin/sh
# Installs spotward-watcher @VERSION@. Its failure does not end this script: add your own lines below.
sh -eu <<'SPOTWARD' || echo 'spotward-watcher: not installed' >&2
TOPIC='@TOPIC@' BUCKET='@BUCKET@' REGION='@REGION@' SUFFIX='@SUFFIX@'
case $(uname -m) in
x86_64) SUM=@SHA256_X86_64@ ;;
aarch64) SUM=@SHA256_AARCH64@ ;;
*) exit 1 ;;
esac
FILE=spotward-watcher-@VERSION@-$(uname -m).tar.gz
cd "$(mktemp -d)"
for PAUSE in 2 5 10 20 30; do
	if command -v aws >/dev/null && aws s3 cp --quiet --region "$REGION" "s3://$BUCKET/$FILE" "$FILE"; then break; fi
	if curl -fsS -m 30 -o "$FILE" "https://$BUCKET.s3.$REGION.$SUFFIX/$FILE"; then break; fi
	sleep "$PAUSE"
done
echo "$SUM  $FILE" | sha256sum -c -
tar -xzf "$FILE" -C / --no-same-owner
echo "SPOTWARD_TOPIC=$TOPIC" >/etc/spotward-watcher.env
systemctl daemon-reload
systemctl enable --now spotward-watcher.service spot-interruption.path
SPOTWARD
