// Command apivalidation says of each manifest what a Kubernetes API server would say of its creation.
//
// It reads JSON objects from standard input and answers one JSON line each: the strict decoder's and the create
// strategy's complaints, and what the restricted Pod Security Standard forbids. These are the API server's own
// packages; only storage, admission plugins and authorization are missing.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	podsecurity "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"

	"k8s.io/kubernetes/pkg/api/legacyscheme"
	_ "k8s.io/kubernetes/pkg/apis/batch/install"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	_ "k8s.io/kubernetes/pkg/apis/networking/install"
	_ "k8s.io/kubernetes/pkg/apis/rbac/install"
	"k8s.io/kubernetes/pkg/registry/batch/cronjob"
	"k8s.io/kubernetes/pkg/registry/batch/job"
	"k8s.io/kubernetes/pkg/registry/core/configmap"
	"k8s.io/kubernetes/pkg/registry/core/serviceaccount"
	"k8s.io/kubernetes/pkg/registry/networking/networkpolicy"
	"k8s.io/kubernetes/pkg/registry/rbac/role"
	"k8s.io/kubernetes/pkg/registry/rbac/rolebinding"
)

// strategies are those by which the API server creates each kind that the chart and the examples have.
var strategies = map[schema.GroupVersionKind]rest.RESTCreateStrategy{
	{Version: "v1", Kind: "ConfigMap"}:                                       configmap.Strategy,
	{Version: "v1", Kind: "ServiceAccount"}:                                  serviceaccount.Strategy,
	{Group: "batch", Version: "v1", Kind: "Job"}:                             job.Strategy,
	{Group: "batch", Version: "v1", Kind: "CronJob"}:                         cronjob.Strategy,
	{Group: "networking.k8s.io", Version: "v1", Kind: "NetworkPolicy"}:       networkpolicy.Strategy,
	{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "Role"}:        role.Strategy,
	{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "RoleBinding"}: rolebinding.Strategy,
}

type answer struct {
	Name   string   `json:"name"`
	Faults []string `json:"faults"`
}

func main() {
	evaluator, err := newEvaluator()
	if err != nil {
		log.Fatal(err)
	}
	objects, answers := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var object json.RawMessage
		if err := objects.Decode(&object); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			log.Fatal(err)
		}
		if err := answers.Encode(judge(object, evaluator)); err != nil {
			log.Fatal(err)
		}
	}
}

func judge(object []byte, evaluator policy.Evaluator) answer {
	strict := serializer.NewCodecFactory(legacyscheme.Scheme, serializer.EnableStrict)
	versioned, kind, err := strict.UniversalDeserializer().Decode(object, nil, nil)
	if err != nil {
		return answer{Name: string(object[:min(len(object), 120)]), Faults: []string{err.Error()}}
	}
	said := answer{Name: kind.Kind, Faults: []string{}}
	strategy, known := strategies[*kind]
	if !known {
		said.Faults = append(said.Faults, fmt.Sprintf("neither chart nor examples are meant to have a %s", kind))
		return said
	}
	internal, err := runtime.Decode(strict.UniversalDecoder(schema.GroupVersion{Group: kind.Group, Version: runtime.APIVersionInternal}), object)
	if err != nil {
		said.Faults = append(said.Faults, err.Error())
		return said
	}
	metadata, err := apimeta.Accessor(internal)
	if err != nil {
		said.Faults = append(said.Faults, err.Error())
		return said
	}
	said.Name = fmt.Sprintf("%s %s/%s", kind.Kind, metadata.GetNamespace(), metadata.GetName())
	request := genericapirequest.WithRequestInfo(
		genericapirequest.WithNamespace(genericapirequest.NewContext(), metadata.GetNamespace()),
		&genericapirequest.RequestInfo{IsResourceRequest: true, Verb: "create", APIGroup: kind.Group, APIVersion: kind.Version, Namespace: metadata.GetNamespace()},
	)
	rest.FillObjectMetaSystemFields(metadata)
	if err := rest.BeforeCreate(strategy, request, internal); err != nil {
		said.Faults = append(said.Faults, err.Error())
	}
	if template := podTemplate(versioned); template != nil {
		restricted := podsecurity.LevelVersion{Level: podsecurity.LevelRestricted, Version: podsecurity.LatestVersion()}
		for _, check := range evaluator.EvaluatePod(restricted, &template.ObjectMeta, &template.Spec) {
			if !check.Allowed {
				said.Faults = append(said.Faults, fmt.Sprintf("PodSecurity restricted: %s: %s", check.ForbiddenReason, check.ForbiddenDetail))
			}
		}
	}
	return said
}

func podTemplate(object runtime.Object) *corev1.PodTemplateSpec {
	switch typed := object.(type) {
	case *batchv1.Job:
		return &typed.Spec.Template
	case *batchv1.CronJob:
		return &typed.Spec.JobTemplate.Spec.Template
	}
	return nil
}
